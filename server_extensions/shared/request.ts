/**
 * Requests to the Jupyter server's own routes, behind which are the platform's services.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/** Why a service has refused something, in words for the user. */
export class ServiceError extends Error {
  constructor(
    message: string,
    readonly status: number
  ) {
    super(message);
    this.name = 'ServiceError';
  }
}

export interface IRequestOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  query?: Record<string, string | number>;
  /** Sent as JSON. */
  body?: unknown;
}

/** The values of a path's parts, as they stand in an address. */
export function path(...parts: string[]): string {
  return parts.map(encodeURIComponent).join('/');
}

/**
 * Send a request and read the answer's JSON; integers that a double cannot hold are strings.
 *
 * @param route - Below the Jupyter server's base URL.
 * @throws ServiceError - The service, or the server before it, has refused, or does not answer.
 */
export async function request<T>(route: string, options: IRequestOptions = {}): Promise<T> {
  const settings = ServerConnection.makeSettings();
  const query = URLExt.objectToQueryString(options.query ?? {});
  const init: RequestInit = { method: options.method ?? 'GET', headers: { Accept: 'application/json' } };
  if (options.body !== undefined) {
    init.body = JSON.stringify(options.body);
  }
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(URLExt.join(settings.baseUrl, route) + query, init, settings);
  } catch {
    throw new ServiceError('Your server does not answer. Check the network and try again.', 0);
  }
  const text = await response.text();
  if (!response.ok) {
    throw new ServiceError(explanation(response.status, text), response.status);
  }
  return text ? (JSON.parse(text, exactly) as T) : (undefined as T);
}

/** What to show for anything that was thrown. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function explanation(status: number, text: string): string {
  try {
    const { error, message } = JSON.parse(text) as { error?: unknown; message?: unknown };
    const said = [error, message].find(each => typeof each === 'string' && each);
    if (said) {
      return said as string;
    }
  } catch {
    // Not from a service: a proxy's page.
  }
  if (status === 404) {
    return 'The server extension is missing, or disabled in this environment.';
  }
  return `The server answered with error ${status}. Try again in a minute.`;
}

function exactly(_key: string, value: unknown, context?: { source: string }): unknown {
  const isRounded = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
  // A browser that does not give the source keeps the rounded number.
  return isRounded && context && /^-?\d+$/.test(context.source) ? context.source : value;
}

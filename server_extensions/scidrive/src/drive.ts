import { URLExt } from '@jupyterlab/coreutils';
import { type Contents, Drive, ServerConnection } from '@jupyterlab/services';

import { REST } from './rest';

export const NAME = 'SciDrive';

/** One's own drive, by the Jupyter contents API that the server extension has for it. */
export class SciDrive extends Drive {
  constructor() {
    super({ name: NAME, apiEndpoint: 'sciserver/scidrive/contents' });
  }

  /** The drive itself is always there: without it, JupyterLab would look for it without end. */
  async get(localPath: string, options?: Contents.IFetchOptions): Promise<Contents.IModel> {
    try {
      return await super.get(localPath, options);
    } catch (error) {
      if (!localPath && error instanceof ServerConnection.ResponseError && error.response.status === 404) {
        throw new Error('The server extension jupyter_scidrive is missing, or disabled in this environment.');
      }
      throw error;
    }
  }

  /** The file itself, streamed; JupyterLab's own `files/` are those of the Jupyter server's disk. */
  async getDownloadUrl(localPath: string): Promise<string> {
    return URLExt.join(this.serverSettings.baseUrl, REST, 'vospace-2.0/1/files/sandbox', URLExt.encodeParts(localPath));
  }
}

/**
 * CasJobs' REST, as far as the panel uses it; fields have the names that they have there.
 */
import { path, request } from '../../shared/request';

const REST = 'sciserver/casjobs/rest';

export interface IContext {
  Name: string;
  Title: string;
  Description: string;
  Writable: boolean;
}

export interface ITable {
  Name: string;
  /** `table`, `view`. */
  Type: string;
  Rows: number | null;
  /** Kilobytes of 1000. */
  Size: number | null;
  Description: string;
}

export interface IColumn {
  Name: string;
  Type: string;
  Unit: string;
  UCD: string;
  Description: string;
}

export interface ITableDetails extends ITable {
  Columns: IColumn[];
}

export interface IFunction {
  Name: string;
  /** `scalar` or `table`. */
  Kind: string;
  Parameters: IColumn[];
  Returns: string;
  Description: string;
}

export interface ISpace {
  /** Bytes. */
  used: number;
  quota: number;
}

export interface IRows {
  Columns: string[];
  Data: unknown[][];
}

/** A job's `Status`. */
export enum Status {
  Waiting,
  Running,
  Stopping,
  Cancelled,
  Failed,
  Finished
}

export interface IJob {
  JobID: number;
  Status: Status;
  /** `quick`, `long`, `upload`, … */
  Kind: string;
  Target: string;
  TaskName: string;
  Query: string;
  Message: string;
  Rows: number | null;
  TimeSubmit: string | null;
  Created_Table: string | null;
  Results: { index: number; name: string; rows: number }[];
}

/** Where a job stands that waits. */
export interface IPlace {
  JobID: number;
  Position: number | null;
  Reason?: string;
}

export function contexts(): Promise<IContext[]> {
  return request(`${REST}/contexts`);
}

export function tables(context: string): Promise<ITable[]> {
  return request(`${REST}/contexts/${path(context)}/Tables`);
}

export function table(context: string, name: string): Promise<ITableDetails> {
  return request(`${REST}/contexts/${path(context, 'Tables', name)}`);
}

export function functions(context: string): Promise<IFunction[]> {
  return request(`${REST}/contexts/${path(context)}/Functions`);
}

export async function sample(context: string, name: string, rows: number): Promise<IRows> {
  const answer = await request<{ Result: IRows[] }>(`${REST}/contexts/${path(context, 'Tables', name)}/sample`, {
    query: { rows, format: 'json-array' }
  });
  return answer.Result[0];
}

export async function myDB(): Promise<ISpace> {
  return (await request<{ MyDB: ISpace }>(`${REST}/limits`)).MyDB;
}

export function rename(name: string, to: string): Promise<void> {
  return request(`${REST}/contexts/MyDB/Tables/${path(name)}`, { method: 'PATCH', body: { Name: to } });
}

export function drop(name: string): Promise<void> {
  return request(`${REST}/contexts/MyDB/Tables/${path(name)}`, { method: 'DELETE' });
}

export function jobs(kind: string, top: number): Promise<IJob[]> {
  return request(`${REST}/jobs`, { query: kind ? { kind, top } : { top } });
}

export async function places(): Promise<IPlace[]> {
  return (await request<{ Yours: IPlace[] }>(`${REST}/queues`)).Yours;
}

export function cancel(job: number): Promise<void> {
  return request(`${REST}/jobs/${job}`, { method: 'DELETE' });
}

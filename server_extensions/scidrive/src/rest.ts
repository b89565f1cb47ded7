/**
 * SciDrive's REST, as far as the browser of files uses it beside the contents API.
 */
import { path, request } from '../../shared/request';

export const REST = 'sciserver/scidrive/rest';

export interface IAccount {
  /** Name of the owner, which is a part of paths. */
  uid: string;
  /** Bytes; no quota is null or 0. */
  quota_info: { normal: number; quota: number | null };
}

export interface ILink {
  url: string;
  /** ISO 8601. */
  expires: string;
}

export function account(): Promise<IAccount> {
  return request(`${REST}/vospace-2.0/1/account/info`);
}

/**
 * Make an address that opens a file for everybody who has it.
 *
 * @param localPath - Without the drive's name.
 */
export async function link(localPath: string, seconds: number): Promise<ILink> {
  const { uid } = await account();
  return request(`${REST}/api/links`, {
    method: 'POST',
    body: { path: path('SciDrive', uid, ...localPath.split('/').filter(Boolean)), seconds }
  });
}

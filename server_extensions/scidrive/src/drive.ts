import { URLExt } from '@jupyterlab/coreutils';
import { Drive } from '@jupyterlab/services';

import { REST } from './rest';

export const NAME = 'SciDrive';

/** One's own drive, by the Jupyter contents API that the server extension has for it. */
export class SciDrive extends Drive {
  constructor() {
    super({ name: NAME, apiEndpoint: 'sciserver/scidrive/contents' });
  }

  /** The file itself, streamed; JupyterLab's own `files/` are those of the Jupyter server's disk. */
  async getDownloadUrl(localPath: string): Promise<string> {
    return URLExt.join(this.serverSettings.baseUrl, REST, 'vospace-2.0/1/files/sandbox', URLExt.encodeParts(localPath));
  }
}

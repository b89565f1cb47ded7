/**
 * Public links to files and folders: asking for how long, and showing the address.
 */
import { Clipboard, Dialog, InputDialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { reason } from '../../shared/request';
import * as rest from './rest';

const HOUR = 3600;
const TIMES = new Map([
  ['4 hours', 4 * HOUR],
  ['1 day', 24 * HOUR],
  ['1 week', 7 * 24 * HOUR],
  ['30 days', 30 * 24 * HOUR]
]);

/** Make a link to a path of the drive, put it on the clipboard and show it. */
export async function makeLink(localPath: string): Promise<void> {
  const name = localPath.split('/').pop() ?? '';
  const chosen = await InputDialog.getItem({
    title: `Public link to ${name}`,
    label: 'Everybody who has the link can read it, without signing in, for',
    items: [...TIMES.keys()],
    okLabel: 'Make and copy'
  });
  const seconds = TIMES.get(chosen.value ?? '');
  if (!chosen.button.accept || seconds === undefined) {
    return;
  }
  try {
    const link = await rest.link(localPath, seconds);
    Clipboard.copyToSystem(link.url);
    await showLink(name, link);
  } catch (error) {
    await showErrorMessage(`No link to ${name}`, reason(error));
  }
}

async function showLink(name: string, link: rest.ILink): Promise<void> {
  const answer = await showDialog({
    title: `Public link to ${name}`,
    body: new Address(link),
    buttons: [Dialog.okButton({ label: 'Close' }), Dialog.createButton({ label: 'Copy again', accept: false })],
    defaultButton: 0
  });
  if (answer.button.label === 'Copy again') {
    Clipboard.copyToSystem(link.url);
  }
}

/** The address in a field, so that it can be selected where the clipboard is out of reach. */
class Address extends Widget {
  constructor(link: rest.ILink) {
    super();
    this.addClass('scidrive-Address');
    const field = document.createElement('input');
    field.className = 'jp-mod-styled';
    field.readOnly = true;
    field.value = link.url;
    field.setAttribute('aria-label', 'Public link');
    const until = document.createElement('p');
    until.textContent = `Copied. It opens until ${new Date(link.expires).toLocaleString()}; SciDrive's page can close it before.`;
    this.node.append(field, until);
  }
}

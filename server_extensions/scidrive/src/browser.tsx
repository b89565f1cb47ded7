/**
 * What is around the list of files: buttons above, the quota below.
 */
import { UseSignal } from '@jupyterlab/apputils';
import { type FileBrowser, Uploader } from '@jupyterlab/filebrowser';
import { filterIcon, newFolderIcon, ReactWidget, refreshIcon, ToolbarButton } from '@jupyterlab/ui-components';
import { type ISignal, Signal } from '@lumino/signaling';
import type { PanelLayout } from '@lumino/widgets';
import * as React from 'react';

import { reason } from '../../shared/request';
import { Usage } from '../../shared/usage';
import { scidriveIcon } from './icon';
import * as rest from './rest';

/** How much of the drive is used, asked for after something has changed. */
class Account {
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  value: rest.IAccount | null = null;
  problem = '';

  async refresh(): Promise<void> {
    try {
      this.value = await rest.account();
      this.problem = '';
    } catch (error) {
      this.problem = reason(error);
    }
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
}

export function furnish(browser: FileBrowser): void {
  browser.title.icon = scidriveIcon;
  browser.title.caption = 'SciDrive';
  browser.node.setAttribute('role', 'region');
  browser.node.setAttribute('aria-label', 'SciDrive');
  addButtons(browser);
  const account = new Account();
  const footer = ReactWidget.create(<UseSignal signal={account.changed}>{() => <Footer account={account} />}</UseSignal>);
  (browser.layout as PanelLayout).addWidget(footer);
  // The list is read whenever somebody looks at it, and after each change.
  browser.model.refreshed.connect(() => {
    if (browser.isVisible) {
      void account.refresh();
    }
  });
}

function addButtons(browser: FileBrowser): void {
  const button = (name: string, icon: typeof refreshIcon, tooltip: string, onClick: () => unknown): void => {
    browser.toolbar.addItem(name, new ToolbarButton({ icon, tooltip, onClick: () => void onClick() }));
  };
  button('new-folder', newFolderIcon, 'New Folder', () => browser.createNewDirectory());
  browser.toolbar.addItem('upload', new Uploader({ model: browser.model }));
  button('refresh', refreshIcon, 'Read the List Again', () => browser.model.refresh());
  button('filter', filterIcon, 'Filter by Name', () => (browser.showFileFilter = !browser.showFileFilter));
}

function Footer({ account }: { account: Account }): React.JSX.Element | null {
  if (account.problem) {
    return (
      <p className="scidrive-Problem" role="alert">
        {account.problem}
      </p>
    );
  }
  const quota = account.value?.quota_info;
  return quota ? <Usage name="SciDrive" used={quota.normal} quota={quota.quota} /> : null;
}

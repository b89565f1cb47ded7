/**
 * The list of files, with buttons above and the quota below.
 */
import { UseSignal } from '@jupyterlab/apputils';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import { FileBrowser, FilterFileBrowserModel, Uploader } from '@jupyterlab/filebrowser';
import type { IStateDB } from '@jupyterlab/statedb';
import { filterIcon, type LabIcon, newFolderIcon, ReactWidget, refreshIcon, ToolbarButton } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { type ISignal, Signal } from '@lumino/signaling';
import type { PanelLayout } from '@lumino/widgets';
import * as React from 'react';

import { reason } from '../../shared/request';
import { Usage } from '../../shared/usage';
import { NAME } from './drive';
import { scidriveIcon } from './icon';
import * as rest from './rest';

/** Milliseconds between two questions for what is in the folder that somebody looks at. */
const INTERVAL = 30_000;

export class SciDriveBrowser extends FileBrowser {
  constructor(id: string, manager: IDocumentManager, state: IStateDB | null) {
    const model = new FilterFileBrowserModel({
      manager,
      driveName: NAME,
      state: state ?? undefined,
      auto: false,
      refreshInterval: INTERVAL,
      refreshStandby: () => (this.isVisible ? 'when-hidden' : true)
    });
    super({ id, model, state: state ?? undefined });
    this.title.icon = scidriveIcon;
    this.title.caption = NAME;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', NAME);
    this._addButtons();
    this._addFooter();
  }

  /** Somebody looks for the first time, before which nothing is asked of the service, or again. */
  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._shown.emit();
    void this.model.restore(this.id).then(() => this.model.refresh());
  }

  get shown(): ISignal<this, void> {
    return this._shown;
  }

  private _addButtons(): void {
    const button = (name: string, icon: LabIcon, tooltip: string, onClick: () => unknown): void => {
      this.toolbar.addItem(name, new ToolbarButton({ icon, tooltip, onClick: () => void onClick() }));
    };
    button('new-folder', newFolderIcon, 'New Folder', () => this.createNewDirectory());
    this.toolbar.addItem('upload', new Uploader({ model: this.model }));
    button('refresh', refreshIcon, 'Read the Folder Again', () => this.model.refresh());
    button('filter', filterIcon, 'Filter by Name', () => (this.showFileFilter = !this.showFileFilter));
  }

  private _addFooter(): void {
    const account = new Account();
    this.model.refreshed.connect(() => void account.refresh());
    // The list shows nothing of it.
    this.model.connectionFailure.connect((_, error) => account.fail(error));
    const footer = ReactWidget.create(
      <UseSignal signal={account.changed}>{() => <Footer account={account} />}</UseSignal>
    );
    (this.layout as PanelLayout).addWidget(footer);
  }

  private _shown = new Signal<this, void>(this);
}

/** How much of the drive is used, or why the service does not say. */
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
      this._changed.emit();
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    this.problem = reason(error);
    this._changed.emit();
  }

  private _changed = new Signal<this, void>(this);
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
  return quota ? <Usage name={NAME} used={quota.normal} quota={quota.quota} /> : null;
}

/**
 * SciDrive as a drive of JupyterLab, with a browser of its own in the side bar.
 */
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { IStateDB } from '@jupyterlab/statedb';
import { linkIcon } from '@jupyterlab/ui-components';

import { SciDriveBrowser } from './browser';
import { NAME, SciDrive } from './drive';
import { scidriveIcon } from './icon';
import { makeLink } from './links';

const ID = 'jupyter-scidrive';
const SHOW = 'scidrive:show';
const LINK = 'scidrive:public-link';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-scidrive:plugin',
  description: 'SciDrive in the side bar.',
  autoStart: true,
  requires: [IDocumentManager, IFileBrowserFactory],
  optional: [IStateDB, ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    manager: IDocumentManager,
    factory: IFileBrowserFactory,
    state: IStateDB | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null
  ) => {
    const { contents } = app.serviceManager;
    contents.addDrive(new SciDrive());
    const browser = new SciDriveBrowser(ID, manager, state);
    // Makes the commands of JupyterLab's own browser work in this one. Not earlier: the browser that was added last is
    // where new notebooks are made.
    browser.shown.connect(() => {
      if (!factory.tracker.has(browser)) {
        void factory.tracker.add(browser);
      }
    });
    app.shell.add(browser, 'left', { rank: 301, type: NAME });
    restorer?.add(browser, ID);

    app.commands.addCommand(SHOW, {
      label: 'Show SciDrive',
      icon: scidriveIcon,
      execute: () => app.shell.activateById(ID)
    });
    app.commands.addCommand(LINK, {
      label: 'Copy Public Link…',
      icon: linkIcon,
      execute: async () => {
        for (const item of browser.selectedItems()) {
          await makeLink(contents.localPath(item.path));
        }
      }
    });
    app.contextMenu.addItem({ command: LINK, selector: `#${ID} .jp-DirListing-item`, rank: 15 });
    palette?.addItem({ command: SHOW, category: NAME });
  }
};

export default plugin;

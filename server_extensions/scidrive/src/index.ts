/**
 * SciDrive as a drive of JupyterLab, with a browser of its own in the side bar.
 */
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { linkIcon } from '@jupyterlab/ui-components';

import { furnish } from './browser';
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
  requires: [IFileBrowserFactory],
  optional: [ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    factory: IFileBrowserFactory,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null
  ) => {
    const { contents } = app.serviceManager;
    contents.addDrive(new SciDrive());
    const browser = factory.createFileBrowser(ID, { driveName: NAME, refreshInterval: 60_000 });
    furnish(browser);
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

/**
 * CasJobs beside the notebook: the plugin, its commands, and what the panel's buttons do.
 */
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, Dialog, ICommandPalette, InputDialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { INotebookTracker } from '@jupyterlab/notebook';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { reason } from '../../shared/request';
import { casjobsIcon } from './icon';
import type { IJobActions } from './jobs';
import { insertCell, queryCell, quoted, resultCell } from './notebook';
import { CasJobsPanel } from './panel';
import * as rest from './rest';
import { sampleWidget } from './sample';
import { type ITableActions, rowOf } from './tree';

const CommandIDs = {
  show: 'casjobs:show',
  refresh: 'casjobs:refresh',
  insertQuery: 'casjobs:insert-query',
  showSample: 'casjobs:show-sample',
  copyName: 'casjobs:copy-name',
  rename: 'casjobs:rename-table',
  drop: 'casjobs:drop-table'
};

const TABLE = '.casjobs-mod-table';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-casjobs:plugin',
  description: 'Databases, MyDB and queries of CasJobs in the side bar.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [IDefaultFileBrowser, ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    files: IDefaultFileBrowser | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null
  ) => {
    const insert = (text: string): Promise<void> =>
      attempt('No cell was inserted', () => insertCell(app, tracker, files?.model.path ?? '', text));
    const act = actions(app, insert, () => panel);
    const panel = new CasJobsPanel(act);
    app.shell.add(panel, 'left', { rank: 300, type: 'CasJobs' });
    restorer?.add(panel, panel.id);
    addCommands(app, panel, act);
    addContextMenu(app);
    for (const command of [CommandIDs.show, CommandIDs.refresh]) {
      palette?.addItem({ command, category: 'CasJobs' });
    }
  }
};

/** What the panel's buttons do; all that goes wrong is shown. */
function actions(
  app: JupyterFrontEnd,
  insert: (text: string) => Promise<void>,
  panel: () => CasJobsPanel
): ITableActions & IJobActions {
  return {
    insertQuery: (context, table) => insert(queryCell(context, table)),
    showSample: (context, table) => showSample(app, context, table),
    cancelJob: job => attempt(`Query ${job.JobID} was not cancelled`, () => panel().history.cancel(job.JobID)),
    insertResult: job => {
      const [, context, table] = /^([^.]+)\.(.+)$/.exec(job.Created_Table ?? '') ?? [];
      return insert(table ? queryCell(context, table) : resultCell(job.JobID, job.Results[0].index));
    }
  };
}

function showSample(app: JupyterFrontEnd, context: string, table: string): void {
  const made = sampleWidget(context, table);
  const open = [...app.shell.widgets('main')].find(each => each.id === made.id);
  if (open) {
    made.dispose();
  } else {
    app.shell.add(made, 'main');
  }
  app.shell.activateById(made.id);
}

function addCommands(app: JupyterFrontEnd, panel: CasJobsPanel, act: ITableActions): void {
  /** The table that is named in the arguments, else the line that the context menu was opened on. */
  const target = (args: ReadonlyPartialJSONObject): { context: string; table: string } | null => {
    const row = app.contextMenuHitTest(node => rowOf(node) !== null);
    const found = row ? rowOf(row) : null;
    const [context, table] = [args.context ?? found?.context, args.table ?? found?.table];
    return context && table ? { context: String(context), table: String(table) } : null;
  };
  const onTable = (label: string, execute: (context: string, table: string) => unknown, ownOnly = false): CommandRegistry.ICommandOptions => ({
    label,
    isVisible: (args: ReadonlyPartialJSONObject) => !ownOnly || target(args)?.context === 'MyDB',
    execute: (args: ReadonlyPartialJSONObject) => {
      const found = target(args);
      return found && execute(found.context, found.table);
    }
  });
  const { commands } = app;
  commands.addCommand(CommandIDs.show, {
    label: 'Show CasJobs',
    icon: casjobsIcon,
    execute: () => app.shell.activateById(panel.id)
  });
  commands.addCommand(CommandIDs.refresh, {
    label: 'Read the Databases and Queries Again',
    execute: async () => {
      panel.databases.refresh();
      await panel.history.refresh();
    }
  });
  commands.addCommand(CommandIDs.insertQuery, onTable('Insert a Query', act.insertQuery));
  commands.addCommand(CommandIDs.showSample, onTable('Show Some Rows', act.showSample));
  commands.addCommand(CommandIDs.copyName, {
    label: 'Copy the Name',
    execute: () => {
      const row = app.contextMenuHitTest(node => rowOf(node) !== null);
      const found = row ? rowOf(row) : null;
      if (found) {
        Clipboard.copyToSystem(found.kind === 'context' ? found.label : quoted(found.label));
      }
    }
  });
  commands.addCommand(CommandIDs.rename, onTable('Rename…', (_, table) => renameTable(panel, table), true));
  commands.addCommand(CommandIDs.drop, onTable('Drop…', (_, table) => dropTable(panel, table), true));
}

function addContextMenu(app: JupyterFrontEnd): void {
  const entries: (readonly [string, string])[] = [
    [CommandIDs.insertQuery, TABLE],
    [CommandIDs.showSample, TABLE],
    ...['context', 'table', 'column', 'function'].map(kind => [CommandIDs.copyName, `.casjobs-mod-${kind}`] as const),
    [CommandIDs.rename, TABLE],
    [CommandIDs.drop, TABLE]
  ];
  entries.forEach(([command, selector], rank) => app.contextMenu.addItem({ command, selector, rank }));
}

async function renameTable(panel: CasJobsPanel, table: string): Promise<void> {
  const answer = await InputDialog.getText({ title: `Rename ${table}`, label: 'New name', text: table, okLabel: 'Rename' });
  const name = answer.value?.trim();
  if (answer.button.accept && name && name !== table) {
    await attempt(`${table} was not renamed`, () => rest.rename(table, name));
    panel.databases.refreshMyDB();
  }
}

async function dropTable(panel: CasJobsPanel, table: string): Promise<void> {
  const { button } = await showDialog({
    title: `Drop ${table}?`,
    body: `The table ${table} of MyDB and all its rows will be gone for good.`,
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Drop' })],
    defaultButton: 0
  });
  if (button.accept) {
    await attempt(`${table} was not dropped`, () => rest.drop(table));
    panel.databases.refreshMyDB();
  }
}

async function attempt(failure: string, action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    await showErrorMessage(failure, reason(error));
  }
}

export default plugin;

/**
 * Cells for the notebook that somebody works in.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { type INotebookTracker, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';

// T-SQL's reserved words that are likely names of tables.
const RESERVED =
  /^(all|and|as|by|case|check|column|database|date|desc|distinct|file|from|group|having|identity|in|index|into|is|join|key|like|not|null|on|or|order|percent|plan|primary|public|read|right|rule|schema|select|set|statistics|table|top|transaction|trigger|union|unique|update|user|values|view|where|with)$/i;

/** A name as it stands in T-SQL. */
export function quoted(name: string): string {
  return /^[A-Za-z_]\w*$/.test(name) && !RESERVED.test(name) ? name : `[${name.replaceAll(']', ']]')}]`;
}

/** A cell that shows the beginning of a table. */
export function queryCell(context: string, table: string): string {
  return `%%casjobs --context ${context}\nselect top 100 *\nfrom ${quoted(table)}`;
}

/** A cell that reads what a finished job has left. */
export function resultCell(job: number, result: number): string {
  const number = result === 1 ? '' : `, ${result}`;
  return `from SciServer.core import Client\n\nresult = Client().casjobs.job_result(${job}${number}).pandas()\nresult`;
}

/**
 * Put a cell with `text` below the active one of the current notebook, or into that one if it is empty.
 *
 * @param folder - Where a new notebook is made if there is none.
 */
export async function insertCell(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  folder: string,
  text: string
): Promise<void> {
  const panel = tracker.currentWidget ?? (await newNotebook(app, folder));
  await panel.context.ready;
  await panel.revealed;
  const notebook = panel.content;
  const active = notebook.activeCell?.model;
  if (active?.type !== 'code' || active.sharedModel.getSource().trim()) {
    NotebookActions.insertBelow(notebook);
  }
  notebook.activeCell?.model.sharedModel.setSource(text);
  app.shell.activateById(panel.id);
  notebook.mode = 'edit';
  await notebook.scrollToItem(notebook.activeCellIndex);
}

async function newNotebook(app: JupyterFrontEnd, cwd: string): Promise<NotebookPanel> {
  await app.serviceManager.kernelspecs.ready;
  return app.commands.execute('notebook:create-new', {
    cwd,
    kernelName: app.serviceManager.kernelspecs.specs?.default,
    activate: true
  });
}

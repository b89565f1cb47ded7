import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
const plugin: JupyterFrontEndPlugin<void> = { id: 'x:plugin', autoStart: true, requires: [INotebookTracker], activate: () => console.log('hello') };
export default plugin;

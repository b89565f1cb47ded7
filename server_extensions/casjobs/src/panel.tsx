/**
 * The panel in the side bar: databases above, queries below.
 */
import { UseSignal } from '@jupyterlab/apputils';
import { PanelWithToolbar, ReactWidget, refreshIcon, SidePanel, ToolbarButton } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import * as React from 'react';

import { Usage } from '../../shared/usage';
import { Databases } from './databases';
import { History } from './history';
import { casjobsIcon } from './icon';
import { type IJobActions, Jobs } from './jobs';
import { type ITableActions, Tree } from './tree';

export class CasJobsPanel extends SidePanel {
  readonly databases = new Databases();
  readonly history: History;

  constructor(actions: ITableActions & IJobActions) {
    super();
    this.id = 'jupyter-casjobs';
    this.addClass('casjobs-Panel');
    this.title.icon = casjobsIcon;
    this.title.caption = 'CasJobs';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'CasJobs');

    this.history = new History(() => jobs.isVisible);
    const jobs = section('Queries', <JobsView model={this.history} actions={actions} />);
    const databases = section('Databases', <DatabasesView model={this.databases} actions={actions} />);
    databases.toolbar.addItem('refresh', refresh('Read the databases again', () => this.databases.refresh()));
    jobs.toolbar.addItem('refresh', refresh('Read the queries again', () => void this.history.refresh()));
    this.addWidget(databases);
    this.addWidget(jobs);
    this.history.ended.connect((_, job) => {
      if (job.Created_Table) {
        this.databases.refreshMyDB();
      }
    });
  }

  dispose(): void {
    if (!this.isDisposed) {
      this.history.dispose();
      super.dispose();
    }
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.databases.look();
    void this.history.refresh();
  }
}

function section(title: string, view: React.JSX.Element): PanelWithToolbar {
  const panel = new PanelWithToolbar();
  panel.addClass('casjobs-Section');
  panel.title.label = title;
  panel.addWidget(ReactWidget.create(view));
  return panel;
}

function refresh(tooltip: string, onClick: () => void): ToolbarButton {
  return new ToolbarButton({ icon: refreshIcon, tooltip, onClick });
}

function DatabasesView({ model, actions }: { model: Databases; actions: ITableActions }): React.JSX.Element {
  return (
    <div className="casjobs-Databases">
      <input
        type="search"
        className="jp-mod-styled"
        placeholder="Filter tables by name"
        aria-label="Filter tables by name"
        onChange={event => (model.filter = event.target.value)}
      />
      <UseSignal signal={model.changed}>
        {() => (
          <>
            <Tree model={model} actions={actions} />
            {model.space && <Usage name="MyDB" {...model.space} />}
          </>
        )}
      </UseSignal>
    </div>
  );
}

function JobsView({ model, actions }: { model: History; actions: IJobActions }): React.JSX.Element {
  return <UseSignal signal={model.changed}>{() => <Jobs model={model} actions={actions} />}</UseSignal>;
}

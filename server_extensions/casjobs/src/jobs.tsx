/**
 * The list of queries on the page.
 */
import * as React from 'react';

import { count } from '../../shared/format';
import { History, isActive } from './history';
import { type IJob, type IPlace, Status } from './rest';

const STATES: Record<Status, string> = {
  [Status.Waiting]: 'Waiting',
  [Status.Running]: 'Running',
  [Status.Stopping]: 'Being cancelled',
  [Status.Cancelled]: 'Cancelled',
  [Status.Failed]: 'Failed',
  [Status.Finished]: 'Finished'
};

/** What can be done with a query. */
export interface IJobActions {
  cancelJob(job: IJob): Promise<void>;
  insertResult(job: IJob): Promise<void>;
}

interface IJobsProps {
  model: History;
  actions: IJobActions;
}

export function Jobs({ model, actions }: IJobsProps): React.JSX.Element {
  return (
    <>
      <div className="casjobs-Bar">
        <label>
          Show
          <select className="jp-mod-styled" value={model.kind} onChange={event => (model.kind = event.target.value)}>
            <option value="">all queries</option>
            <option value="long">the long queue</option>
          </select>
        </label>
      </div>
      {model.problem && (
        <p className="casjobs-Problem" role="alert">
          {model.problem}{' '}
          <button type="button" className="jp-mod-styled jp-mod-minimal" onClick={() => void model.refresh()}>
            Try again
          </button>
        </p>
      )}
      {model.jobs?.length === 0 && <p className="casjobs-Empty">No queries yet. Run one in a notebook, with %%casjobs.</p>}
      {!model.jobs && !model.problem && <p className="casjobs-Empty">Loading …</p>}
      <ul className="casjobs-Jobs" aria-label="Queries">
        {model.jobs?.map(job => (
          <Job key={job.JobID} job={job} place={model.place(job.JobID)} actions={actions} />
        ))}
      </ul>
    </>
  );
}

interface IJobProps {
  job: IJob;
  place: IPlace | undefined;
  actions: IJobActions;
}

function Job({ job, place, actions }: IJobProps): React.JSX.Element {
  const state = Status[job.Status].toLowerCase();
  const when = job.TimeSubmit ? new Date(job.TimeSubmit).toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'short' }) : '';
  const position = place?.Position ? `, number ${place.Position} in the queue` : '';
  return (
    <li className="casjobs-Job" data-job={job.JobID} data-state={state}>
      <div className="casjobs-Job-head">
        <span className={`casjobs-Job-state casjobs-mod-${state}`} title={place?.Reason}>
          {STATES[job.Status]}
          {position}
        </span>
        <span>
          {job.JobID} · {job.Target} · {when}
        </span>
      </div>
      <code title={job.Query}>{job.Query.replace(/\s+/g, ' ')}</code>
      {job.Status === Status.Failed && job.Message && <p className="casjobs-Problem">{job.Message}</p>}
      <div className="casjobs-Job-foot">
        <span>{outcome(job)}</span>
        {isActive(job) && job.Status !== Status.Stopping && (
          <button type="button" className="jp-mod-styled jp-mod-minimal" aria-label={`Cancel query ${job.JobID}`} onClick={() => void actions.cancelJob(job)}>
            Cancel
          </button>
        )}
        {isReadable(job) && (
          <button
            type="button"
            className="jp-mod-styled jp-mod-minimal"
            aria-label={`Insert code that reads the result of query ${job.JobID}`}
            onClick={() => void actions.insertResult(job)}
          >
            Insert code
          </button>
        )}
      </div>
    </li>
  );
}

/** Whether something is left of it that can be read. */
function isReadable(job: IJob): boolean {
  return job.Status === Status.Finished && (job.Results.length > 0 || Boolean(job.Created_Table));
}

function outcome(job: IJob): string {
  const rows = job.Status === Status.Finished && job.Rows !== null ? count(job.Rows, 'row', 'rows') : '';
  return [rows, job.Created_Table && `in ${job.Created_Table}`].filter(Boolean).join(' ');
}

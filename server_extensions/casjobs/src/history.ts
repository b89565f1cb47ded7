/**
 * The list of queries, asked for while somebody sees it.
 */
import { Poll } from '@lumino/polling';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { reason } from '../../shared/request';
import * as rest from './rest';

const SHOWN = 30;
// Milliseconds between two questions: while something runs or waits, and else.
const BUSY = 3_000;
const QUIET = 30_000;

export class History {
  /**
   * @param isVisible - Whether the list can be seen; nothing is asked meanwhile if it cannot.
   */
  constructor(isVisible: () => boolean) {
    this._poll = new Poll({
      name: 'jupyter-casjobs:jobs',
      auto: false,
      factory: () => this._load(),
      frequency: { interval: QUIET, backoff: 2, max: 120_000 },
      standby: () => (isVisible() ? 'when-hidden' : true)
    });
  }

  /** Something has changed that is shown. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** A query has ended since the last time. */
  get ended(): ISignal<this, rest.IJob> {
    return this._ended;
  }

  /** The newest first; null before the first answer. */
  get jobs(): rest.IJob[] | null {
    return this._jobs;
  }

  get problem(): string {
    return this._problem;
  }

  /** Which queries: `long`, or '' for all. */
  get kind(): string {
    return this._kind;
  }

  set kind(kind: string) {
    this._kind = kind;
    this._jobs = null;
    this._changed.emit();
    void this.refresh();
  }

  place(job: number): rest.IPlace | undefined {
    return this._places.get(job);
  }

  async refresh(): Promise<void> {
    await this._poll.refresh();
  }

  async cancel(job: number): Promise<void> {
    await rest.cancel(job);
    await this.refresh();
  }

  dispose(): void {
    this._poll.dispose();
  }

  private async _load(): Promise<void> {
    const kind = this._kind;
    try {
      const jobs = await rest.jobs(kind, SHOWN);
      const places = jobs.some(each => each.Status === rest.Status.Waiting) ? await rest.places() : [];
      if (kind === this._kind) {
        this._settle(jobs, places);
      }
    } catch (error) {
      this._problem = reason(error);
      this._changed.emit();
      // The poll asks less often then.
      throw error;
    }
  }

  private _settle(jobs: rest.IJob[], places: rest.IPlace[]): void {
    const before = this._jobs && new Map(this._jobs.map(each => [each.JobID, each]));
    this._jobs = jobs;
    this._places = new Map(places.map(each => [each.JobID, each]));
    this._problem = '';
    const interval = jobs.some(isActive) ? BUSY : QUIET;
    if (this._poll.frequency.interval !== interval) {
      this._poll.frequency = { ...this._poll.frequency, interval };
    }
    this._changed.emit();
    for (const job of jobs) {
      const known = before?.get(job.JobID);
      // A quick one may come and go between two questions.
      if (before && !isActive(job) && (!known || isActive(known))) {
        this._ended.emit(job);
      }
    }
  }

  private _poll: Poll;
  private _jobs: rest.IJob[] | null = null;
  private _places = new Map<number, rest.IPlace>();
  private _problem = '';
  private _kind = '';
  private _changed = new Signal<this, void>(this);
  private _ended = new Signal<this, rest.IJob>(this);
}

/** Whether a query has not ended. */
export function isActive(job: rest.IJob): boolean {
  return job.Status < rest.Status.Cancelled;
}

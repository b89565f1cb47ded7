/**
 * What the tree of databases shows: what has been asked of the service so far, what is open, and the filter.
 */
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { count, bytes } from '../../shared/format';
import { reason } from '../../shared/request';
import * as rest from './rest';

/** Something that is asked for once, when it is first looked at. */
type Asked<T> = { state: 'coming' } | { state: 'there'; value: T } | { state: 'failed'; message: string };

export type Kind = 'context' | 'table' | 'column' | 'functions' | 'function' | 'note' | 'problem';

/** One line of the tree. */
export interface IRow {
  key: string;
  kind: Kind;
  level: number;
  label: string;
  /** Beside the label. */
  detail?: string;
  /** Everything that is known, as a tooltip. */
  about?: string;
  context: string;
  /** The table's name, or that of the table that a column is in. */
  table?: string;
  /** Undefined if nothing can be below. */
  open?: boolean;
}

const FUNCTIONS = 'functions';

export class Databases {
  /** Something has changed that is shown. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get space(): rest.ISpace | null {
    return this._space;
  }

  get filter(): string {
    return this._filter;
  }

  set filter(text: string) {
    this._filter = text.trim().toLowerCase();
    if (this._filter) {
      this._contexts().forEach(each => this._ask(key(each.Name), () => rest.tables(each.Name)));
    }
    this._changed.emit();
  }

  /** The panel is seen: ask for the databases, or, if they are there, for what may have changed in MyDB. */
  look(): void {
    if (this._value('')) {
      this.refreshMyDB();
    } else {
      this.refresh();
    }
  }

  /** Forget everything, and ask again for what is open. */
  refresh(): void {
    this._asked.clear();
    this._request('');
    void this._measure();
    this._open.forEach(each => this._request(each));
    this._changed.emit();
  }

  /** Ask again for the tables of MyDB, one of which is another now. */
  refreshMyDB(): void {
    const place = key('MyDB');
    const isInside = (each: string): boolean => each === place || each.startsWith(key(place, ''));
    [...this._asked.keys()].filter(isInside).forEach(each => this._asked.delete(each));
    [place, ...this._open].filter(isInside).forEach(each => this._request(each));
    void this._measure();
    this._changed.emit();
  }

  /** Ask again for what could not be had. */
  retry(): void {
    for (const [place, asked] of this._asked) {
      if (asked.state === 'failed') {
        this._request(place);
      }
    }
    this._changed.emit();
  }

  toggle(row: IRow, open = !row.open): void {
    if (open) {
      this._open.add(row.key);
      this._request(row.key);
    } else {
      this._open.delete(row.key);
    }
    this._changed.emit();
  }

  /** The lines from top to bottom. */
  rows(): IRow[] {
    const contexts = this._value<rest.IContext[]>('');
    if (!contexts) {
      return [this._absence('', 1, '')];
    }
    const found = contexts.flatMap(each => this._contextRows(each));
    if (!found.length) {
      const label = this._filter ? 'No table has this in its name.' : 'There are no databases for you.';
      return [{ key: 'none', kind: 'note', level: 1, label, context: '' }];
    }
    return found;
  }

  private _contextRows(context: rest.IContext): IRow[] {
    const name = context.Name;
    const place = key(name);
    const open = this._open.has(place) || this._filter !== '';
    const inside = open ? this._tableRows(name) : [];
    if (this._filter && !inside.some(each => each.kind !== 'functions')) {
      return [];
    }
    const about = [context.Title, context.Description].filter(Boolean).join('\n');
    const row: IRow = { key: place, kind: 'context', level: 1, label: name, about, context: name, open };
    return [row, ...inside];
  }

  private _tableRows(context: string): IRow[] {
    const tables = this._value<rest.ITable[]>(key(context));
    if (!tables) {
      return [this._absence(key(context), 2, context)];
    }
    const shown = tables.filter(each => each.Name.toLowerCase().includes(this._filter));
    const rows = shown.flatMap(each => this._oneTable(context, each));
    if (!tables.length && !this._filter) {
      const label = context === 'MyDB' ? 'No tables yet: select … into MyDB.name' : 'No tables';
      rows.push({ key: key(context, 'none'), kind: 'note', level: 2, label, context });
    }
    return this._filter ? rows : [...rows, ...this._functionRows(context)];
  }

  private _oneTable(context: string, table: rest.ITable): IRow[] {
    const place = key(context, 'table', table.Name);
    const open = this._open.has(place);
    const size = table.Size === null ? '' : bytes(table.Size * 1000);
    const rows = table.Rows === null ? '' : count(table.Rows, 'row', 'rows');
    const isView = table.Type.toLowerCase() === 'view';
    const row: IRow = {
      key: place,
      kind: 'table',
      level: 2,
      label: table.Name,
      detail: isView ? 'view' : context === 'MyDB' ? size : rows,
      about: [[isView ? 'View' : 'Table', rows, size].filter(Boolean).join(', '), table.Description].filter(Boolean).join('\n'),
      context,
      table: table.Name,
      open
    };
    return open ? [row, ...this._columnRows(context, table.Name)] : [row];
  }

  private _columnRows(context: string, table: string): IRow[] {
    const place = key(context, 'table', table);
    const details = this._value<rest.ITableDetails>(place);
    if (!details) {
      return [this._absence(place, 3, context)];
    }
    return details.Columns.map(each => ({
      key: key(place, each.Name),
      kind: 'column',
      level: 3,
      label: each.Name,
      detail: [each.Type, each.Unit].filter(Boolean).join(' · '),
      about: [each.Description, each.UCD].filter(Boolean).join('\n'),
      context,
      table
    }));
  }

  private _functionRows(context: string): IRow[] {
    const place = key(context, FUNCTIONS);
    const open = this._open.has(place);
    const row: IRow = { key: place, kind: 'functions', level: 2, label: 'Functions', context, open };
    if (!open) {
      return [row];
    }
    const functions = this._value<rest.IFunction[]>(place);
    if (!functions) {
      return [row, this._absence(place, 3, context)];
    }
    const none: IRow = { key: key(place, 'none'), kind: 'note', level: 3, label: 'No functions', context };
    const rows = functions.map<IRow>(each => ({
      key: key(place, each.Name),
      kind: 'function',
      level: 3,
      label: each.Name,
      detail: each.Kind === 'table' ? 'table' : each.Returns,
      about: `${each.Name}(${each.Parameters.map(one => `${one.Name} ${one.Type}`).join(', ')})\n${each.Description}`,
      context
    }));
    return [row, ...(rows.length ? rows : [none])];
  }

  /** Instead of what has not come. */
  private _absence(place: string, level: number, context: string): IRow {
    const asked = this._asked.get(place);
    if (asked?.state === 'failed') {
      return { key: key(place, 'problem'), kind: 'problem', level, label: asked.message, context };
    }
    return { key: key(place, 'coming'), kind: 'note', level, label: 'Loading …', context };
  }

  private _contexts(): rest.IContext[] {
    return this._value<rest.IContext[]>('') ?? [];
  }

  private _value<T>(place: string): T | undefined {
    const asked = this._asked.get(place);
    return asked?.state === 'there' ? (asked.value as T) : undefined;
  }

  /** Ask for what is below an open line. */
  private _request(place: string): void {
    const [context, kind, name] = place.split('\n').slice(1);
    if (kind === 'table') {
      this._ask(place, () => rest.table(context, name));
    } else if (kind === FUNCTIONS) {
      this._ask(place, () => rest.functions(context));
    } else if (context) {
      this._ask(place, () => rest.tables(context));
    } else {
      this._ask(place, rest.contexts);
    }
  }

  private _ask(place: string, question: () => Promise<unknown>): void {
    const known = this._asked.get(place);
    if (known && known.state !== 'failed') {
      return;
    }
    const coming: Asked<unknown> = { state: 'coming' };
    this._asked.set(place, coming);
    const settle = (answer: Asked<unknown>): void => {
      // Not if it was asked once more meanwhile.
      if (this._asked.get(place) === coming) {
        this._asked.set(place, answer);
        if (place === '' && this._filter) {
          this.filter = this._filter;
        }
        this._changed.emit();
      }
    };
    question().then(
      value => settle({ state: 'there', value }),
      error => settle({ state: 'failed', message: reason(error) })
    );
  }

  private async _measure(): Promise<void> {
    try {
      this._space = await rest.myDB();
    } catch {
      // The tree has the reason already.
      this._space = null;
    }
    this._changed.emit();
  }

  private _asked = new Map<string, Asked<unknown>>();
  private _open = new Set<string>();
  private _filter = '';
  private _space: rest.ISpace | null = null;
  private _changed = new Signal<this, void>(this);
}

/** Identifies a line; names cannot have line ends. */
function key(...parts: string[]): string {
  return parts[0].startsWith('\n') ? parts.join('\n') : ['', ...parts].join('\n');
}

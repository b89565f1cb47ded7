/**
 * The tree of databases on the page: WAI-ARIA's tree pattern, with one line in the order of the Tab key.
 */
import {
  addBelowIcon,
  caretDownIcon,
  caretRightIcon,
  codeIcon,
  type LabIcon,
  spreadsheetIcon,
  tableRowsIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';

import type { Databases, IRow, Kind } from './databases';
import { casjobsIcon } from './icon';

/** What can be done with a table. */
export interface ITableActions {
  insertQuery(context: string, table: string): Promise<void>;
  showSample(context: string, table: string): void;
}

const ICONS: Partial<Record<Kind, LabIcon>> = {
  context: casjobsIcon,
  table: spreadsheetIcon,
  functions: codeIcon
};

/** The line below the pointer or with the focus, for the context menu. */
export function rowOf(node: HTMLElement): IRow | null {
  const { kind, context, table, label } = node.dataset;
  if (node.getAttribute('role') !== 'treeitem' || !kind || context === undefined || label === undefined) {
    return null;
  }
  return { key: '', level: 0, kind: kind as Kind, context, table: table || undefined, label };
}

interface ITreeProps {
  model: Databases;
  actions: ITableActions;
}

export function Tree({ model, actions }: ITreeProps): React.JSX.Element {
  const list = React.useRef<HTMLDivElement>(null);
  const [current, setCurrent] = React.useState('');
  const rows = model.rows();
  const place = Math.max(
    0,
    rows.findIndex(each => each.key === current)
  );

  const go = (index: number): void => {
    const next = Math.min(Math.max(index, 0), rows.length - 1);
    setCurrent(rows[next].key);
    (list.current?.children[next] as HTMLElement | undefined)?.focus();
  };
  const act = (row: IRow): void => {
    if (row.kind === 'table') {
      void actions.insertQuery(row.context, row.label);
    } else if (row.open !== undefined) {
      model.toggle(row);
    }
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.target instanceof HTMLButtonElement) {
      return;
    }
    const next = afterKey(event, rows, place);
    if (event.key === 'Enter') {
      act(rows[place]);
    } else if (next === 'toggle') {
      model.toggle(rows[place]);
    } else if (next !== null) {
      go(next);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <div ref={list} className="casjobs-Tree" role="tree" aria-label="Databases" onKeyDown={onKeyDown}>
      {rows.map((row, index) => (
        <Line
          key={row.key}
          row={row}
          isCurrent={index === place}
          onFocus={() => setCurrent(row.key)}
          onToggle={() => model.toggle(row)}
          onAct={() => act(row)}
          onRetry={() => model.retry()}
          actions={actions}
        />
      ))}
    </div>
  );
}

/** Where a key leads from a line: to another one, to open or close this one, or nowhere. */
function afterKey(event: React.KeyboardEvent, rows: IRow[], place: number): number | 'toggle' | null {
  const row = rows[place];
  if (event.ctrlKey || event.altKey || event.metaKey) {
    return null;
  }
  switch (event.key) {
    case 'ArrowDown':
      return place + 1;
    case 'ArrowUp':
      return place - 1;
    case 'Home':
      return 0;
    case 'End':
      return rows.length - 1;
    case ' ':
      return row.open === undefined ? place : 'toggle';
    case 'ArrowRight':
      return row.open === false ? 'toggle' : row.open ? place + 1 : place;
    case 'ArrowLeft':
      return row.open ? 'toggle' : Math.max(0, rows.findLastIndex((each, at) => at < place && each.level < row.level));
    default:
      return event.key.length === 1 ? named(event.key, rows, place) : null;
  }
}

/** The next line whose name begins with a letter. */
function named(letter: string, rows: IRow[], place: number): number | null {
  const order = [...rows.keys()].map(each => (each + place + 1) % rows.length);
  return order.find(each => rows[each].label.toLowerCase().startsWith(letter.toLowerCase())) ?? null;
}

interface ILineProps {
  row: IRow;
  isCurrent: boolean;
  onFocus(): void;
  onToggle(): void;
  onAct(): void;
  onRetry(): void;
  actions: ITableActions;
}

function Line(props: ILineProps): React.JSX.Element {
  const { row, isCurrent } = props;
  const icon = ICONS[row.kind];
  const Caret = row.open ? caretDownIcon : caretRightIcon;
  return (
    <div
      className={`casjobs-Line casjobs-mod-${row.kind}`}
      role="treeitem"
      tabIndex={isCurrent ? 0 : -1}
      aria-level={row.level}
      aria-expanded={row.open}
      aria-selected={isCurrent}
      data-kind={row.kind}
      data-context={row.context}
      data-table={row.table}
      data-label={row.label}
      title={row.about}
      style={{ paddingLeft: `${(row.level - 1) * 16 + 4}px` }}
      onFocus={props.onFocus}
      onDoubleClick={props.onAct}
    >
      <span className="casjobs-Line-caret" onClick={props.onToggle} onDoubleClick={event => event.stopPropagation()}>
        {row.open !== undefined && <Caret.react tag="span" />}
      </span>
      {icon && <icon.react tag="span" className="casjobs-Line-icon" />}
      <span className="casjobs-Line-label">{row.label}</span>
      {row.detail && <span className="casjobs-Line-detail">{row.detail}</span>}
      {row.kind === 'problem' && (
        <button type="button" className="jp-mod-styled jp-mod-minimal" onClick={props.onRetry}>
          Try again
        </button>
      )}
      {row.kind === 'table' && <TableButtons row={row} actions={props.actions} />}
    </div>
  );
}

function TableButtons({ row, actions }: { row: IRow; actions: ITableActions }): React.JSX.Element {
  const button = (label: string, icon: LabIcon, act: () => void): React.JSX.Element => (
    <button
      type="button"
      className="casjobs-Line-button"
      tabIndex={-1}
      title={label}
      aria-label={`${label}: ${row.label}`}
      onClick={act}
      onDoubleClick={event => event.stopPropagation()}
    >
      <icon.react tag="span" />
    </button>
  );
  return (
    <span className="casjobs-Line-buttons">
      {button('Show some rows', tableRowsIcon, () => actions.showSample(row.context, row.label))}
      {button('Insert a query', addBelowIcon, () => void actions.insertQuery(row.context, row.label))}
    </span>
  );
}

/**
 * Some rows of a table, in a tab of the main area.
 */
import { MainAreaWidget } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';
import * as React from 'react';

import { count } from '../../shared/format';
import { reason } from '../../shared/request';
import { casjobsIcon } from './icon';
import * as rest from './rest';

const ROWS = 100;

interface ISampleProps {
  context: string;
  table: string;
}

interface IFound {
  details: rest.ITableDetails;
  rows: rest.IRows;
}

/** A new tab that loads the rows by itself. */
export function sampleWidget(context: string, table: string): MainAreaWidget {
  const content = ReactWidget.create(<Sample context={context} table={table} />);
  content.addClass('casjobs-Sample');
  const widget = new MainAreaWidget({ content });
  widget.id = `casjobs-sample-${context}-${table}`;
  widget.title.label = table;
  widget.title.caption = `Some rows of ${context}.${table}`;
  widget.title.icon = casjobsIcon;
  widget.title.closable = true;
  return widget;
}

function Sample({ context, table }: ISampleProps): React.JSX.Element {
  const [found, setFound] = React.useState<IFound | null>(null);
  const [problem, setProblem] = React.useState('');
  React.useEffect(() => {
    Promise.all([rest.table(context, table), rest.sample(context, table, ROWS)]).then(
      ([details, rows]) => setFound({ details, rows }),
      error => setProblem(reason(error))
    );
  }, [context, table]);

  if (problem) {
    return (
      <p className="casjobs-Problem" role="alert">
        {problem}
      </p>
    );
  }
  if (!found) {
    return <p role="status">Loading …</p>;
  }
  const { details, rows } = found;
  const all = details.Rows === null ? '' : ` of ${count(details.Rows, 'row', 'rows')}`;
  return (
    <>
      <h2>
        {context}.{details.Name}
      </h2>
      {details.Description && <p>{details.Description}</p>}
      <p>
        {count(rows.Data.length, 'row', 'rows')}
        {all}, in no particular order.
      </p>
      <Grid columns={rows.Columns} details={details.Columns} data={rows.Data} label={`Some rows of ${table}`} />
    </>
  );
}

interface IGridProps {
  columns: string[];
  details: rest.IColumn[];
  data: unknown[][];
  label: string;
}

function Grid({ columns, details, data, label }: IGridProps): React.JSX.Element {
  const known = new Map(details.map(each => [each.Name, each]));
  return (
    <div className="casjobs-Sample-scroll" role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map(name => (
              <th key={name} scope="col" title={known.get(name)?.Description}>
                {name}
                <small>{[known.get(name)?.Type, known.get(name)?.Unit].filter(Boolean).join(' · ')}</small>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {data.map((row, index) => (
            <tr key={index}>
              {row.map((value, column) => (
                <Cell key={column} value={value} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell({ value }: { value: unknown }): React.JSX.Element {
  if (value === null || value === undefined) {
    return <td className="casjobs-mod-null">NULL</td>;
  }
  const isNumber = typeof value === 'number' || (typeof value === 'string' && /^-?\d{16,}$/.test(value));
  return <td className={isNumber ? 'casjobs-mod-number' : ''}>{typeof value === 'object' ? JSON.stringify(value) : String(value)}</td>;
}

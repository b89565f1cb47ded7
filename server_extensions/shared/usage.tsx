/** A line that tells how much of a quota is used. */
import * as React from 'react';

import { bytes } from './format';

interface IUsageProps {
  /** Of what. */
  name: string;
  used: number;
  /** Bytes; 0 or null if there is no limit. */
  quota: number | null;
}

export function Usage({ name, used, quota }: IUsageProps): React.JSX.Element {
  const text = quota ? `${bytes(used)} of ${bytes(quota)} used` : `${bytes(used)} used`;
  return (
    <div className="sciserver-Usage">
      <span>
        {name}: {text}
      </span>
      {quota ? <meter aria-label={`${name}, part used`} min={0} max={quota} high={quota * 0.9} value={used} /> : null}
    </div>
  );
}

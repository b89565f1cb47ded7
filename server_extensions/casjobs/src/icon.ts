import { LabIcon } from '@jupyterlab/ui-components';

import svgstr from '../style/icons/casjobs.svg';

export const casjobsIcon = new LabIcon({ name: 'jupyter-casjobs:casjobs', svgstr });

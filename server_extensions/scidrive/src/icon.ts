import { LabIcon } from '@jupyterlab/ui-components';

import svgstr from '../style/icons/scidrive.svg';

export const scidriveIcon = new LabIcon({ name: 'jupyter-scidrive:scidrive', svgstr });

"""The field that moves matter and haloes of `SimulationDB`, in Zel'dovich's approximation.

A place q goes to q + D(z) Psi(q), with Psi of the linear field today. The field is smoothed where it would be far from
linear, which keeps sheets and knots together (Coles, Melott and Shandarin 1993, MNRAS 260, 765).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from casjobs_service.demo.simulation import cosmology as universe
from casjobs_service.demo.sky import Array

CELLS = 64
"""Along each side of the box."""


@dataclass(frozen=True)
class Field:
    """Linear density contrast and displacement (Mpc/h) today at the middle of each cell.

    Shapes (`CELLS`,) * 3 and (3,) + that.
    """

    density: Array
    displacement: Array

    def at(self, places: npt.NDArray) -> npt.NDArray:
        """Displacements of places, both of shape (3, n) and in Mpc/h."""
        cells = np.asarray(places, np.float32) * np.float32(CELLS / universe.SIDE) - np.float32(0.5)
        return np.stack(
            [map_coordinates(axis, cells, order=1, mode="grid-wrap", output=np.float32) for axis in self.displacement]
        )


def smoothing() -> float:
    """Radius in Mpc/h of a Gaussian within which the linear field's deviation is 1."""
    radii = np.geomspace(0.5, 20, 60)
    deviations = universe.cosmology().sigma(radii, 0.0, filt="gaussian")
    return float(np.exp(np.interp(0.0, -np.log(deviations), np.log(radii))))


def random_field(random: np.random.Generator) -> Field:
    """A Gaussian field with the linear power spectrum."""
    step = universe.SIDE / CELLS
    whole = 2 * np.pi * np.fft.fftfreq(CELLS, step)
    half = 2 * np.pi * np.fft.rfftfreq(CELLS, step)
    waves = np.meshgrid(whole, whole, half, indexing="ij")
    squared = np.sum([wave**2 for wave in waves], axis=0)
    squared[0, 0, 0] = 1
    length = np.sqrt(squared)
    power = universe.cosmology().matterPowerSpectrum(length.ravel()).reshape(length.shape)
    power *= np.exp(-squared * smoothing() ** 2)
    power[0, 0, 0] = 0
    noise = np.fft.rfftn(random.standard_normal((CELLS,) * 3))
    modes = noise * np.sqrt(power / step**3)
    shape = (CELLS,) * 3
    displacement = [np.fft.irfftn(1j * wave / squared * modes, shape, axes=(0, 1, 2)) for wave in waves]
    density = np.fft.irfftn(modes, shape, axes=(0, 1, 2))
    return Field(density, np.stack(displacement).astype(np.float32))

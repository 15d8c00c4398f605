"""
Products and eigenvectors that are the same to the bit with any number of BLAS threads.

BLAS shares the terms of a sum out among its threads, so its last digits depend on how many there
are; a figure scored live on a robot and again on a desktop would differ. Here every sum is numpy's
own, in one order. Products cost some times what BLAS takes.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh_tridiagonal

from wm_eval_ros.stats.samples import Floats

#: terms summed in one go: so many rows of the right factor stay in the cache
_TERMS = 256
#: reflections applied together
_MIRRORS = 32


def product(left: Floats, right: Floats) -> Floats:
    """
    Multiply two matrices.

    :param left: shape (N, M)
    :param right: shape (M, K)
    :returns: shape (N, K)
    """
    left, right = np.ascontiguousarray(left, float), np.ascontiguousarray(right, float)
    found = np.zeros((len(left), right.shape[1]))
    for at in range(0, len(right), _TERMS):
        found += np.einsum('nm,mk->nk', left[:, at:at + _TERMS], right[at:at + _TERMS])
    return found


def symmetric_eigen(matrix: Floats) -> tuple[Floats, Floats]:
    """
    Return eigenvalues, ascending, and eigenvectors of a symmetric matrix.

    Householder's reduction to a tridiagonal matrix (Golub and Van Loan, Matrix Computations,
    8.3.1), whose eigenvectors LAPACK finds without BLAS.

    :param matrix: finite, symmetric, shape (N, N)
    :returns: shapes (N,) and (N, N), a vector in each column
    """
    if len(matrix) < 2:
        return np.diag(matrix).copy(), np.ones(np.shape(matrix))
    diagonal, beside, mirrors = _tridiagonal(matrix)
    values, vectors = eigh_tridiagonal(diagonal, beside, lapack_driver='stemr')
    for at in reversed(range(0, len(matrix) - 2, _MIRRORS)):
        own = mirrors[at + 1:, at:at + _MIRRORS]
        below = vectors[at + 1:]
        below -= product(own, product(_compact(own), product(own.T, below)))
    return values, vectors


def _compact(mirrors: Floats) -> Floats:
    """
    Return T of reflections one after the other: together they are I - V T V'.

    :param mirrors: V, a unit normal in each column, or zeros for no reflection, shape (N, M)
    """
    among = product(mirrors.T, mirrors)
    found = 2 * np.eye(len(among))
    for at in range(1, len(among)):
        found[:at, at] = -2 * np.einsum('ij,j->i', found[:at, :at], among[:at, at])
    return found


def _tridiagonal(matrix: Floats) -> tuple[Floats, Floats, Floats]:
    """
    Reflect a symmetric matrix until only its diagonal and the entries beside it are left.

    What the reflections of a panel do to the columns behind it is done at once, as in LAPACK.

    :returns: the diagonal, the entries beside it, and the unit normal of each mirror in a column
    """
    held, count = np.array(matrix, float), len(matrix)
    mirrors, images, beside = np.zeros_like(held), np.zeros_like(held), np.zeros(count - 1)
    for begin in range(0, count - 2, _MIRRORS):
        end = min(begin + _MIRRORS, count - 2)
        for at in range(begin, end):
            before = mirrors[at:, begin:at], images[at:, begin:at]
            held[at:, at] -= _changed(*before, before[0][0], before[1][0])
            beside[at], mirror = _mirror(held[at + 1:, at])
            image = np.einsum('ij,j->i', held[at + 1:, at + 1:], mirror)
            below = before[0][1:], before[1][1:]
            image -= _changed(*below, *(np.einsum('ij,i->j', one, mirror) for one in below))
            mirrors[at + 1:, at] = mirror
            images[at + 1:, at] = 2 * (image - np.sum(image * mirror) * mirror)
        left, right = mirrors[end:, begin:end], images[end:, begin:end]
        change = product(left, right.T)
        held[end:, end:] -= change + change.T
    beside[-1] = held[-1, -2]
    return np.diag(held).copy(), beside, mirrors


def _changed(mirrors: Floats, images: Floats, mirror: Floats, image: Floats) -> Floats:
    """Return what the mirrors before have taken from a product with a vector."""
    return np.asarray(np.einsum('ij,j->i', mirrors, image) + np.einsum('ij,j->i', images, mirror))


def _mirror(column: Floats) -> tuple[float, Floats]:
    """Return the first entry of the reflected column, all others zero, and the unit normal."""
    norm = float(np.sqrt(np.sum(column**2)))
    if norm == 0:
        return 0.0, np.zeros(len(column))
    normal, first = column.copy(), float(-np.copysign(norm, column[0]))
    normal[0] -= first
    return first, normal / np.sqrt(np.sum(normal**2))

"""Small and thin pieces go, small holes are filled, all as far as the picture is large enough."""

from __future__ import annotations

import numpy as np

from histonic.slides.tissue.pieces import clean_mask, drop_grey_specks, small_pieces
from histonic.slides.tissue.rule import TissueRule

RULE = TissueRule()


def test_small_pieces_by_hand() -> None:
    mask = np.array([[1, 1, 0, 0, 1], [0, 0, 0, 1, 1], [1, 0, 0, 0, 0]], bool)
    assert small_pieces(mask, 3).astype(int).tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert not small_pieces(mask, 3, inner_only=True).any()


def test_a_thin_ring_goes_with_what_it_holds_and_a_solid_piece_stays() -> None:
    y, x = np.mgrid[:400, :400]
    ring = np.abs(np.hypot(y - 100, x - 100) - 60) < 1.5  # an air bubble of 1 mm, its edge 24 µm wide
    piece = (y > 220) & (y < 320) & (x > 100) & (x < 300)
    assert (clean_mask(ring | piece, 8.0, RULE) == piece).all()


def test_gaps_do_not_make_a_piece_thin() -> None:
    loose = np.zeros((300, 300), bool)
    loose[100:200, 100:200] = True
    loose[100:200:4, 100:200:4] = False
    assert clean_mask(loose, 8.0, RULE)[101:199, 101:199].all()


def test_of_a_small_picture_holes_and_specks_are_small_too() -> None:
    field = np.ones((500, 500), bool)  # 1 mm
    field[200:250, 200:250] = False  # 10,000 µm²: a lumen
    field[300:310, 300:310] = False  # 400 µm²: a gap
    cleaned = clean_mask(field, 2.0, RULE)
    assert not cleaned[200:250, 200:250].any() and cleaned[300:310, 300:310].all()
    slide = np.ones((2000, 2000), bool)
    slide[200:250, 200:250] = False
    assert clean_mask(slide, 2.0, RULE).all()


def test_small_grey_things_go_and_coloured_ones_stay() -> None:
    tissue = np.zeros((200, 200), bool)
    density = np.zeros((3, 200, 200), np.float32)
    for left, colour in ((10, (0.8, 0.8, 0.8)), (50, (0.3, 0.8, 0.4))):
        tissue[20:40, left : left + 20] = True  # 25,600 µm²
        density[:, 20:40, left : left + 20] = np.array(colour)[:, None, None]
    kept = drop_grey_specks(tissue, density, 8.0)
    assert not kept[:, :45].any() and kept[20:40, 50:70].all()
    # Silver-stained tissue has no colour either, but comes in larger pieces, lacy as they may be.
    lacy = np.zeros((200, 200), bool)
    lacy[10:50, 10:50] = True
    lacy[12:50:7, 12:50:7] = lacy[13:50:7, 12:50:7] = lacy[12:50:7, 13:50:7] = False
    assert (drop_grey_specks(lacy, np.full((3, 200, 200), 0.8, np.float32), 8.0) == lacy).all()

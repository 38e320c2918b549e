from contextlib import suppress

import pytest
from transformers.utils import logging

from plmrs.plm.quiet import quiet


@pytest.mark.parametrize("bars", [True, False])
def test_what_transformers_writes_is_as_before_afterwards(bars: bool) -> None:
    level, before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_info()
        (logging.enable_progress_bar if bars else logging.disable_progress_bar)()
        with suppress(ZeroDivisionError), quiet():
            assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.ERROR, False)
            raise ZeroDivisionError
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.INFO, bars)
    finally:
        logging.set_verbosity(level)
        (logging.enable_progress_bar if before else logging.disable_progress_bar)()

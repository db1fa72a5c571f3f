"""A rule is what the settings say."""

from __future__ import annotations

from histonic.core.settings import TissueSettings
from histonic.slides.tissue.rule import TissueRule


def test_the_default_rule_is_that_of_the_default_settings() -> None:
    assert TissueRule.of(TissueSettings()) == TissueRule()


def test_all_of_the_slide() -> None:
    assert TissueRule.of(TissueSettings(source="all", mpp=4.0)) == TissueRule(4.0, everything=True)

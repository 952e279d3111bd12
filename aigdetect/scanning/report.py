"""What a scan writes once all rows are there: the page, and the manifest of a case."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from aigdetect.scanning.case import CaseFolder, Manifest, write_manifest
from aigdetect.scanning.ledger import Ledger
from aigdetect.scanning.model_in_use import ModelInUse
from aigdetect.scanning.page.header import PageHeader
from aigdetect.scanning.page.write import write_page
from aigdetect.scanning.pipeline import Tally
from aigdetect.scanning.settings import Settings


class Report:
    """Knows when a scan began and how it was called, also after it was resumed.

    Args:
        ledger: an open one, which remembers earlier sessions.
        model: what scores.
        settings: what the rows depend on.
        page: the page to write, if any.
        case: the case folder, if there is one.
        command: the command line, as a list of its words.
    """

    def __init__(
        self,
        ledger: Ledger,
        model: ModelInUse,
        settings: Settings,
        *,
        page: Path | None,
        case: CaseFolder | None,
        command: Sequence[str],
    ) -> None:
        self._ledger = ledger
        self._model = model
        self._settings = settings
        self._page = page
        self._case = case
        self._command = command
        self._sessions = [*(ledger.fact("sessions") or []), {"started": _now(), "command": list(command)}]
        ledger.note("sessions", self._sessions)

    def write(self, tally: Tally) -> None:
        """Write the page, and into the journal that all rows are there.

        Raises:
            UsageError: if it cannot be written.
        """
        self._sessions[-1]["ended"] = _now()
        self._ledger.note("sessions", self._sessions)
        if self._page:
            header = PageHeader.of_card(
                self._model.card,
                self._model.thresholds,
                fpr=self._settings.fpr,
                precision=self._settings.precision,
                weights_digest=self._model.weights_digest,
                command=shlex.join(self._command),
                started=datetime.fromisoformat(str(self._sessions[0]["started"])),
                finished=datetime.fromisoformat(str(self._sessions[-1]["ended"])),
                passed_over=tally.passed_over,
                also=self._settings.also,
            )
            write_page(self._page, self._ledger.page_rows(), header)
        self._ledger.note("met", tally.met)
        self._ledger.note("finished", True)

    def write_manifest(self, tally: Tally) -> str:
        """Write the manifest of the case, after everything else in its folder; its SHA-256.

        Raises:
            UsageError: if it cannot be written.
        """
        if self._case is None:
            raise RuntimeError("there is no case")
        card = self._model.card
        manifest = Manifest(
            settings=self._settings.as_dict(),
            backbone=card.backbone,
            backbone_trained_on=card.backbone_digest,
            sessions=self._sessions,
            counts={
                "ai": tally.ai,
                "uncertain": tally.uncertain,
                "real": tally.real,
                "error": tally.errors,
                "passed_over": tally.passed_over,
            },
        )
        return write_manifest(self._case, manifest)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

"""The undo list: what to put back, on the board's disk before anything is changed.

``<workdir>/undo.json``: ``{"schema", "entries": [{"op", "root", "boot_id", "persists", "owner", "items"}]}``, each
item ``[where, before, after]``. Whoever finds it, the run that wrote it or a later one, can undo what it says.
"""

import os
from typing import Any, Dict, List, Optional, Tuple

from tunebench.targets.agent import workdir
from tunebench.targets.agent.tuning.operation import Item, Operation
from tunebench.targets.agent.workdir import AgentError, Workdir

SCHEMA = "tunebench.undo/1"


def path_of(place: Workdir) -> str:
    """Return where the list is."""
    return os.path.join(place.root, "undo.json")


class UndoList:
    """The list of one board, written through at every change; used under the working directory's lock.

    Raises:
        AgentError: (kind ``undo``) it is there but makes no sense.
    """

    def __init__(self, place: Workdir) -> None:
        self._path = path_of(place)
        self.entries: List[Dict[str, Any]] = []
        if os.path.exists(self._path):
            content = workdir.read_json(self._path) or {}
            entries = content.get("entries")
            if (
                content.get("schema") != SCHEMA
                or not isinstance(entries, list)
                or not all(map(_valid, entries))
            ):
                raise AgentError(
                    "undo",
                    "%s cannot be understood: put the board's state right by hand, then remove that file"
                    % self._path,
                )
            self.entries = entries

    def find(self, operation: Operation, root: str, rep_id: Optional[str] = None) -> Optional[Dict[str, Any]]:
        """Return the entry of an operation on one tree; a repetition's own lies upon that of the run."""
        key = (operation.name, os.path.realpath(root), rep_id)
        return next((entry for entry in self.entries if _key(entry) == key), None)

    def add(
        self, operation: Operation, root: str, items: List[Item], owner: Dict[str, Any]
    ) -> Dict[str, Any]:
        """Note what is about to be changed; on disk when this returns.

        What an older entry, not yet undone, says of the state before stays: that is what is to be put back.
        """
        old = self.find(operation, root, owner.get("rep_id"))
        first = {item[0]: item[1] for item in old["items"]} if old is not None else {}
        if old is not None:
            self.entries.remove(old)
        entry = {
            "op": operation.name,
            "root": root,
            "boot_id": workdir.boot_id(),
            "persists": operation.persists,
            "owner": owner,
            "items": [[item.key, first.get(item.key, item.before), item.after] for item in items],
        }
        self.entries.append(entry)
        self._write()
        return entry

    def remove(self, entry: Dict[str, Any]) -> None:
        """Remove an entry that has been undone; the file goes with the last one."""
        self.entries.remove(entry)
        self._write()

    def _write(self) -> None:
        if self.entries:
            workdir.write_json(self._path, {"schema": SCHEMA, "entries": self.entries}, durable=True)
        elif os.path.exists(self._path):
            os.remove(self._path)
            workdir.sync_folder(self._path)


def _key(entry: Dict[str, Any]) -> Tuple[str, str, Optional[str]]:
    return entry["op"], os.path.realpath(entry["root"]), entry["owner"].get("rep_id")


def _valid(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and all(isinstance(entry.get(key), str) for key in ("op", "root", "boot_id"))
        and isinstance(entry.get("owner"), dict)
        and isinstance(entry.get("items"), list)
        and all(
            isinstance(item, list) and len(item) == 3 and all(isinstance(word, str) for word in item)
            for item in entry["items"]
        )
    )


def items_of(entry: Dict[str, Any]) -> List[Item]:
    """Return an entry's items."""
    return [Item(*item) for item in entry["items"]]

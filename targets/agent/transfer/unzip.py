"""Unpack a zip of the user's own files: relative regular files only, of bounded size."""

import os
import shutil
import zipfile

from tunebench.targets.agent.workdir import AgentError

MAX_FILES = 2000
MAX_TOTAL_B = 256 * 1024 * 1024


def extract(archive: str, folder: str) -> None:
    """Unpack ``archive`` into the existing ``folder``.

    Raises:
        AgentError: (kind ``blob``) no zip, or a member that leads out of the folder, or too large.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            members = source.infolist()
            if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_TOTAL_B:
                raise AgentError("blob", "more than %d files or %d bytes" % (MAX_FILES, MAX_TOTAL_B))
            for member in members:
                _extract_one(source, member, folder)
    except (zipfile.BadZipFile, EOFError) as error:
        raise AgentError("blob", "%s: %s" % (os.path.basename(archive), error)) from None


def _extract_one(source: zipfile.ZipFile, member: zipfile.ZipInfo, folder: str) -> None:
    name = member.filename
    parts = name.split("/")
    if (
        name.startswith("/")
        or ".." in parts
        or "\\" in name
        or (member.external_attr >> 28) not in (0, 0o4, 0o10)
    ):
        raise AgentError("blob", "member %r is not a plain relative file" % name)
    path = os.path.join(folder, *parts)
    if name.endswith("/"):
        os.makedirs(path, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with source.open(member) as content, open(path, "wb") as file:
        shutil.copyfileobj(content, file)
    if (member.external_attr >> 16) & 0o100:
        os.chmod(path, 0o700)

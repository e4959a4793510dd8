"""The link between host and board: cut, silent, slow, and with a flipped bit."""

from __future__ import annotations

import random

from tests.faults.scene import Fault, Over, Scene

#: The handshake and the receiver go over first; the payload follows.
_BEFORE_THE_UPLOAD_B = 20_000


class Cut(Fault):
    """All connections end and new ones are refused, for a while."""

    family = "link"

    def __init__(self, seconds: float) -> None:
        self.name = f"link-cut-{seconds:g}s"
        self.seconds = seconds
        self.costly = seconds > 10
        self.short = seconds < 100
        self.limit_s = 300.0 + 2 * seconds
        # A board that cannot be reached when a campaign begins is left out with that reason; a short cut is waited out.
        self.may_skip = seconds > 5

    def strike(self, scene: Scene) -> None:
        scene.site.relay.unplug()
        scene.last(self.seconds)
        scene.site.relay.plug_in()

    def heal(self, scene: Scene) -> None:
        scene.site.relay.plug_in()


class Silent(Fault):
    """Nothing passes, and neither end is notified: as with a pulled wire or a dead access point."""

    family = "link"
    costly = True
    may_skip = True
    limit_s = 360.0

    def __init__(self, seconds: float) -> None:
        self.name = f"link-silent-{seconds:g}s"
        self.seconds = seconds

    def strike(self, scene: Scene) -> None:
        scene.site.relay.freeze()
        scene.last(self.seconds)
        scene.site.relay.thaw()

    def heal(self, scene: Scene) -> None:
        scene.site.relay.thaw()


class Slow(Fault):
    """Each piece is held back for up to a fifth of a second, for the rest of the campaign."""

    name = "link-slow"
    family = "link"
    costly = True
    limit_s = 420.0

    def strike(self, scene: Scene) -> None:
        scene.site.relay.slow_down(0.05, 0.2)

    def heal(self, scene: Scene) -> None:
        scene.site.relay.slow_down(0.0, 0.0)


class CorruptUpload(Fault):
    """One bit is flipped in the upload: SSH notices and ends the connection in the middle of it."""

    name = "upload-corrupted"
    family = "link"

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        return 0.0

    def strike(self, scene: Scene) -> None:
        size_b = payload_size_b()
        scene.site.relay.corrupt_at(_BEFORE_THE_UPLOAD_B + int(scene.rng.random() * 0.8 * size_b))
        scene.until(lambda: scene.site.relay.has_corrupted)


class DamagedBlob(Fault):
    """The host dies, and before it comes back one bit of what it had uploaded is flipped on the board's disk."""

    name = "upload-damaged-on-disk"
    family = "link"

    def strike(self, scene: Scene) -> None:
        blobs = scene.until(lambda: sorted((scene.site.workdir / "blobs").glob("*.zip")))
        if not scene.host.kill():
            raise Over
        # A running agent reads its modules from the blob when it needs them: damage then would be another fault.
        scene.until(lambda: scene.site.supervised() is None)
        path = scene.rng.choice(blobs)
        with path.open("r+b") as file:
            at_b = scene.rng.randrange(path.stat().st_size)
            file.seek(at_b)
            byte = file.read(1)[0]
            file.seek(at_b)
            file.write(bytes([byte ^ 1 << scene.rng.randrange(8)]))


def payload_size_b() -> int:
    """Return the size in bytes of the payload, which every board gets first."""
    from tunebench.harness.artifacts.gather import build_payload

    return len(build_payload().read())


FAULTS: tuple[Fault, ...] = (
    Cut(1),
    Cut(30),
    Cut(120),
    Silent(20),
    Slow(),
    CorruptUpload(),
    DamagedBlob(),
)

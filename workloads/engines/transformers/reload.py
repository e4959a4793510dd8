"""``python -m tunebench.workloads.engines.transformers.reload FOLDER``: load a saved network and run one text."""

import json
import os
import sys
import time
from typing import Any, Dict

from tunebench.workloads.engines.transformers.keeping import ANSWER, BESIDE, why
from tunebench.workloads.marks.peak_memory import status_b

_TOKENS = 8


def main(folder: str) -> int:
    """Load it and say in one line how long that took and what was resident at most; imports do not count as time."""
    answer: Dict[str, Any]
    try:
        import torch
        import transformers
        from safetensors.torch import load_file

        transformers.logging.set_verbosity_error()
        begun = time.monotonic()
        model = transformers.AutoModel.from_pretrained(folder).eval()
        path = os.path.join(folder, BESIDE)
        beside = load_file(path) if os.path.exists(path) else {}
        with torch.no_grad():
            model(input_ids=torch.ones(1, _TOKENS, dtype=torch.int64))
        answer = {"seconds": time.monotonic() - begun, "peak_b": status_b("VmHWM")}
        del model, beside
    except Exception as error:  # noqa: BLE001  Hugging Face's code runs here, and one line is to be answered
        answer = {"reason": why(error)}
    print(ANSWER + json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

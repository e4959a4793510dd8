"""Open an ONNX file in ONNX Runtime on the CPU: one thread pool of the asked size, one node at a time."""

from typing import Any, Optional


def open_session(raw: bytes, threads: int, profile: Optional[str] = None) -> Any:
    """Return a session on the bytes of an ONNX file.

    Args:
        raw: the file's.
        threads: of its pool.
        profile: what the profile's file name begins with; None: no profile is taken.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])

"""The engine `onnxruntime-head`: no torch on the board. Its modules are imported one by one, where each is needed."""

#: as suites name it
NAME = "onnxruntime-head"

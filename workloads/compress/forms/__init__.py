"""Write networks as the files that runtimes read: ONNX, TFLite, ncnn; no converter and no package is needed."""

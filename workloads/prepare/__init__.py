"""Make on the host what boards start from: data and start weights as artefacts."""

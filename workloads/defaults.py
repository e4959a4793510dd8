"""The protocol of every fine-tuning that is not told otherwise: one place, cited by docs and report.

Where the Skip2-LoRA study (Matsutani et al., ASP-DAC 2025, arXiv 2410.21073) is silent the choice is ours.

- Plain SGD, constant learning rate, cross-entropy, float32, one thread; the last short batch is kept.
- BatchNorm is frozen (statistics and affine) in every method while fine-tuning.
- Adapters: ``y += scale * B(A(x))``; A starts Kaiming-uniform (bound ``1 / sqrt(fan_in)``, the
  ``a = sqrt(5)`` form that LoRA and ``torch.nn.Linear`` use), B starts at zero, so that training starts from
  the frozen model.
- Block k uses seed k for the adapters' start and the data order; base weights come from the artefact.
"""

BATCH = 20
RANK = 4
SCALE = 1.0
LEARNING_RATE = 0.02
WARMUP_STEPS = 3

#: Fine-tuning epochs by data set, or by data set and model. Fan and HAR: the study's. Digits: about a second
#: on one x86 thread, and far enough that every method has recovered.
EPOCHS = {
    "digits": 200,
    "digits/cnn": 60,
    "fan-damage1": 100,
    "fan-damage2": 60,
    "har-hapt": 200,
    "har-uci": 200,
}

#: epsilon of BatchNorm, used in pretraining and fine-tuning alike
BATCHNORM_EPSILON = 1e-5


def epochs(dataset: str, model: str) -> int:
    """Return the protocol's epochs; 100 for a data set that it does not name."""
    return EPOCHS.get("%s/%s" % (dataset, model), EPOCHS.get(dataset, 100))

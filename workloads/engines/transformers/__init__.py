"""Fine-tuning of transformers by Hugging Face's package on torch; imported only where such a job runs."""

"""Makes the model in models/tiny-agent: data, tokenizer, training, evaluation, goldens."""

"""Many prompts in one task: what is left to do of each, who does it, and what comes of all."""

"""A person's decision about clips: what is shown, what is asked, and what an answer is worth."""

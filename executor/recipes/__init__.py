"""What a job does, step by step: the commands it runs and how it reads their output."""

"""Make for Python functions: declare jobs, run only what must run, in parallel."""

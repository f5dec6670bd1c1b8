"""The Kubeflow pipeline: its one definition, its compilation, and the run of the compiled file on this machine."""

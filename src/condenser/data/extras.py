"""What some kinds of data need beside requirements.txt."""

# module → what to install (requirements-extras.txt)
EXTRAS = {
    "parquet": {"pyarrow": "pyarrow==26.0.1"},
    "audio": {"soundfile": "soundfile==0.14.0"},
    "huggingface": {"datasets": "datasets==5.2.0"},
}

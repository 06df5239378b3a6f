"""AWS in this process, for local mode: made from ``template.yaml``, gone with the process."""

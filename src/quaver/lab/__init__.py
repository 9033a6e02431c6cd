"""The quantization laboratory, which needs torch. In Python begin with `quaver.lab.api`."""

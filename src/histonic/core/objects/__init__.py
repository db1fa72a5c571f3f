"""Object stores such as S3: answers, conditional writes and claims, for whatever lies there."""

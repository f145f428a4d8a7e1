"""Sample imbalance in object detection: losses, samplers and prime sample attention."""

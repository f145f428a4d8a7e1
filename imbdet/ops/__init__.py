"""Operations on tensors that several rooms share; they need torch and torchvision alone."""

"""Operations on tensors that several packages share; they need torch and torchvision alone."""

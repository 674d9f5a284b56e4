"""Attention, ``(batch, length, dim)``: one head in which no place looks ahead, and several heads between projections."""

import math

import numpy as np


class CausalAttention:
    """softmax(q k^T / sqrt(dim)) v, where each place sees itself and the places before it."""

    def forward(self, q, k, v):
        self.q, self.k, self.v = q, k, v
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        ahead = np.triu(np.ones(scores.shape[1:], dtype=bool), k=1)
        scores = np.where(ahead, -np.inf, scores)
        e = np.exp(scores - scores.max(axis=-1, keepdims=True))
        self.weights = e / e.sum(axis=-1, keepdims=True)
        return self.weights @ v

    def backward(self, dout):
        dweights = dout @ self.v.transpose(0, 2, 1)
        dv = self.weights.transpose(0, 2, 1) @ dout
        inner = (dweights * self.weights).sum(axis=-1, keepdims=True)
        dscores = self.weights * (dweights - inner)
        dscores /= math.sqrt(self.q.shape[-1])
        dq = dscores @ self.k
        dk = dscores.transpose(0, 2, 1) @ self.q
        return dq, dk, dv


class MultiHeadAttention:
    """Self-attention in several heads; one matrix makes q, k and v, another mixes the heads."""

    def __init__(self, dim, heads):
        self.heads = heads
        self.W = np.zeros((3 * dim, dim))
        self.b = np.zeros(3 * dim)
        self.W_out = np.zeros((dim, dim))
        self.b_out = np.zeros(dim)

    def split(self, x):
        n, length, dim = x.shape
        return x.reshape(n, length, self.heads, dim // self.heads).transpose(0, 2, 1, 3)

    def merge(self, x):
        n, heads, length, size = x.shape
        return x.transpose(0, 2, 1, 3).reshape(n, length, heads * size)

    def forward(self, x):
        dim = x.shape[-1]
        self.x = x
        qkv = x @ self.W.T + self.b
        self.q = self.split(qkv[:, :, :dim])
        self.k = self.split(qkv[:, :, dim : 2 * dim])
        self.v = self.split(qkv[:, :, 2 * dim :])
        scores = self.q @ self.k.swapaxes(2, 3) / math.sqrt(dim // self.heads)
        e = np.exp(scores - scores.max(axis=-1, keepdims=True))
        self.weights = e / e.sum(axis=-1, keepdims=True)
        self.merged = self.merge(self.weights @ self.v)
        return self.merged @ self.W_out.T + self.b_out

    def backward(self, dout):
        dim = dout.shape[-1]
        self.dW_out = dout.reshape(-1, dim).T @ self.merged.reshape(-1, dim)
        self.db_out = dout.sum(axis=(0, 1))
        d = self.split(dout @ self.W_out)
        dweights = d @ self.v.swapaxes(2, 3)
        dv = self.weights.swapaxes(2, 3) @ d
        inner = (dweights * self.weights).sum(axis=-1, keepdims=True)
        dscores = self.weights * (dweights - inner) / math.sqrt(dim // self.heads)
        dq = dscores @ self.k
        dk = dscores.swapaxes(2, 3) @ self.q
        dqkv = np.concatenate([self.merge(dq), self.merge(dk), self.merge(dv)], axis=-1)
        self.dW = dqkv.reshape(-1, 3 * dim).T @ self.x.reshape(-1, dim)
        self.db = dqkv.sum(axis=(0, 1))
        return dqkv @ self.W

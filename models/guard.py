"""stub of the lead until branch models is merged"""
from __future__ import annotations
from dataclasses import dataclass
import torch
from torch import Tensor

@dataclass(frozen=True, eq=False)
class StateRange:
    low: Tensor
    high: Tensor
    def __len__(self): return len(self.low)
    def __getitem__(self, i): return StateRange(self.low[i], self.high[i])
    def to(self, d): return StateRange(self.low.to(d), self.high.to(d))
    def clone(self): return StateRange(self.low.clone(), self.high.clone())
    def union(self, o): return StateRange(torch.minimum(self.low, o.low), torch.maximum(self.high, o.high))
    def over(self): return StateRange(self.low.amin(0, keepdim=True), self.high.amax(0, keepdim=True))
    def widened(self, m):
        d = m * (self.high - self.low)
        return StateRange(self.low - d, self.high + d)
    @staticmethod
    def cat(rs): return StateRange(torch.cat([r.low for r in rs]), torch.cat([r.high for r in rs]))

def usual_range(r, percent=0.1):
    q = percent / 100
    return StateRange(r.low.quantile(q, dim=0, keepdim=True), r.high.quantile(1 - q, dim=0, keepdim=True))
